"""The parts of the benchmark flow: its plan, and the suites that compare no arms."""
