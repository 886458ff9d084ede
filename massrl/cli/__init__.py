"""The `massrl` command: `main` is the light front, each other module one command or what commands share."""
