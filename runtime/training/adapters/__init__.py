"""Models of other libraries, plain functions and steps, as models of this one."""
