"""Runs agents: a repository, a prompt and a user in; a branch and a pull request out."""
