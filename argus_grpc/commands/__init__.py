"""The commands of argus-server beside serving, one group a file. They load nothing of the store."""
