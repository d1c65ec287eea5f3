"""Time series: loading, an even grid, windows and the encoding of inputs."""
