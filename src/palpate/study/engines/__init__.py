"""Where stages are made: in this process, in several on this machine, or on a cluster; the run does not know which."""
