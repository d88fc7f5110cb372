"""Reference solutions that exist only to be taught: loader, training loop, memory arithmetic, average precision."""
