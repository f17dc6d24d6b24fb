"""HTTP on a Unix socket for the live gateway. nginx asks here for access decisions and for pages."""
