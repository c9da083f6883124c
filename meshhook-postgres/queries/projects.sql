-- Down projects_by_creation; the list ends when it is large, one more than fits is read.
SELECT project, name, created_at FROM (
    SELECT project, name, created_at,
        sum(coalesce(octet_length(name), 0)) OVER (ORDER BY created_at DESC, project DESC)
            - coalesce(octet_length(name), 0) AS before
    FROM (
        SELECT project, name, created_at FROM meshhook.projects
        WHERE (created_at, project) < ($2, $3)
        ORDER BY created_at DESC, project DESC LIMIT $1) part) summed
WHERE before <= $4
ORDER BY created_at DESC, project DESC
