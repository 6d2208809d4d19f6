"""Test hosts: Docker containers running systemd, shared by the demo and every molecule scenario."""
