"""The only place that knows gRPC: server, errors as statuses, and one servicer a service."""
