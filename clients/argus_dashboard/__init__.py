"""The web dashboard and the HTTP gateway of an Argus server: a client like any other."""
