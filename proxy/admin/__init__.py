"""The dashboard, on the private listener: what operators and analysts look at, and decide."""
