"""What produces the figures in docs/performance.md. Each benchmark is a make target and ends with one line."""
