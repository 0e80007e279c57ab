"""`python -m fedlab` is the command line."""

from fedlab.cli.main import main

if __name__ == "__main__":
    main()
