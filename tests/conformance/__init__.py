"""Agreement with other tools and with a plain reading, on real trace files beside the checkout."""
