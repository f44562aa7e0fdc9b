"""The kernels under other projects' names, so that programs written for those run unchanged."""
