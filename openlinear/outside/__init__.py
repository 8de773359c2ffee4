"""What the product asks of other servers: who somebody is, which repositories are theirs."""
