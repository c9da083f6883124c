-- Read transaction; by definitions_pk.
SELECT definition FROM definitions WHERE project = ?1 AND digest = ?2
