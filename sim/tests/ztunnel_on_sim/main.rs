//! The node proxy on simulated hosts: two nodes, real mutual TLS and HTTP/2 between them.

mod app;
mod authority;
mod config;
mod hostile;
mod lifecycle;
mod mesh;
mod paths;
mod policy;
