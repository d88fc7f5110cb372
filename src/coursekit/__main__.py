"""`python -m coursekit …`, and `torchrun -m coursekit …`."""

from coursekit.commands.main import main

if __name__ == "__main__":
    main()
