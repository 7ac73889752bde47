"""The files of a Redis for this product, as ``rppam redis setup`` writes them: templates and their writer."""
