"""`python -m coursekit …`, and `torchrun -m coursekit …`."""

from coursekit.cli import main

if __name__ == "__main__":
    main()
