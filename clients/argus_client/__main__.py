"""`python -m argus_client` is argus-client."""

from argus_client.cli import main

if __name__ == "__main__":
    main()
