"""Scripts that train, measure and export the bundled generators."""
