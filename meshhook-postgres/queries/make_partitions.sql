-- Catalogue; locks the parents only against other changes of their shape.
SELECT meshhook.make_partitions($1)
