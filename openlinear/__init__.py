"""The product: accounts, projects, tasks, the HTTP API, the command line and the pages."""
