"""Looking inside: reports, dumps and logs of what the compiler did."""
