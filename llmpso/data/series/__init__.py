"""Time series: loading, missing values, windows and the encoding of inputs."""
