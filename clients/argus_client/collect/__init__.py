"""Events as they happen: from a running Argus server, or a running JVM's recording repository.

What is received goes into a spool on disk, and from there to the server, in order.
"""
