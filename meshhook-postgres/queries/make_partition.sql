-- Catalogue; locks one default partition for a moment.
SELECT meshhook.make_partition($1) AS made
