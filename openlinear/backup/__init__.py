"""A copy of an installation in one file, and an installation made from it.

The file holds rows, the commits of runs and work that was kept; no key, and no secret in clear. What
belongs to one machine stays there: sandboxes, workspaces, logins, and the workflows under way.
"""
