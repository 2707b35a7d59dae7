"""Listening sockets and connections: Unix socket, TCP, TLS, limits."""
