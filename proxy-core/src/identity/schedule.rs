//! When a certificate is refreshed and how failures back off. Pure.
