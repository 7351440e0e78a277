//! Which endpoint of a service.
