-- By definitions_pk.
SELECT definition FROM meshhook.definitions WHERE project = $1 AND digest = $2
