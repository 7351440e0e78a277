//! HTTP/2 CONNECT over mutual TLS, and the pool of such tunnels.
