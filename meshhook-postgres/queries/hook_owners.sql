-- By hooks_pk.
SELECT path, slug FROM meshhook.hooks WHERE project = $1 AND path = ANY ($2)
