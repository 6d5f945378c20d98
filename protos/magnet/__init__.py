"""Messages and services of the magnet protocol, one package a version."""
