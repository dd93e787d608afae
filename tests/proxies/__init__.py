"""Proxies in front of a server, each with its configuration from docs/proxies.md."""
