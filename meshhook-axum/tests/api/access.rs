use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http_body_util::BodyExt as _;
use meshhook_axum::{Access, Authorizer, Denied, Grant, Permission};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::kit::{Server, api, waiting};

/// A path of a template, with things that do not exist.
fn filled(template: &str, project: &str) -> String {
    let run = "01890a5d-ac96-774b-bcce-b302099a8057";
    template
        .replace("{project}", project)
        .replace("{run}", run)
        .replace("{version}", "1")
        .replace("{slug}", "nope")
        .replace("{name}", "nope")
        .replace("{trigger}", "nope")
        .replace("{path}", "nope")
}

#[tokio::test(start_paused = true)]
async fn every_route_asks_for_the_key_before_anything_else() {
    let server = Server::guarded("right");
    let mut guarded = 0;
    for (template, method, operation) in server.operations() {
        let send = |key: Option<&'static str>, project: &str| {
            let mut request = api(&method.to_uppercase(), &filled(&template, project));
            if let Some(key) = key {
                request = request.header("authorization", key);
            }
            server.send(request.body(Body::empty()).unwrap())
        };
        let open = template.starts_with("/hooks/")
            || ["/healthz", "/readyz", "/metrics"].contains(&template.as_str());
        assert_eq!(operation.get("security").is_none(), open, "{method} {template}");
        for key in [None, Some("Bearer wrong"), Some("Bearer "), Some("right")] {
            for project in ["default", "foreign", "-"] {
                let reply = send(key, project).await;
                assert_eq!(reply.status == 401, !open, "{method} {template} {key:?}: {reply:?}");
                if !open {
                    assert_eq!(reply.problem().1, "unauthorized");
                    assert_eq!(reply.header("www-authenticate"), "Bearer");
                }
            }
        }
        let right = send(Some("Bearer right"), "default").await;
        assert!(!matches!(right.status.as_u16(), 401 | 403 | 405), "{method} {template}: {right:?}");
        if template.contains("{project}") {
            assert_eq!(send(Some("Bearer right"), "foreign").await.problem().0, 404, "{method} {template}");
        }
        guarded += usize::from(!open);
    }
    assert!(guarded >= 25, "{guarded}");
}

/// Knows roles by their names.
struct Roles;

#[async_trait::async_trait]
impl Authorizer for Roles {
    async fn authorize(&self, access: Access<'_>) -> Result<Grant, Denied> {
        let role = access.headers.get("x-role").map(|role| role.as_bytes()).ok_or(Denied::Unauthorized)?;
        let allowed = match role {
            b"viewer" => Permission::View,
            b"editor" => Permission::Edit,
            b"admin" => Permission::Administer,
            _ => return Err(Denied::Unauthorized),
        };
        if access.permission > allowed {
            return Err(Denied::Forbidden);
        }
        match access.project {
            Some(project) if project != "default" => Err(Denied::ForeignProject),
            _ => Ok(Grant::to(String::from_utf8_lossy(role))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn roles_are_judged_before_existence() {
    let server = Server::authorized(Roles);
    let rank = |needs: &str| match needs {
        "Needs the role viewer." => 0,
        "Needs the role editor." => 1,
        "Needs the role admin." => 2,
        _ => 3,
    };
    for (template, method, operation) in server.operations() {
        let Some(needs) = operation["description"].as_str() else { continue };
        for (at, role) in ["viewer", "editor", "admin"].into_iter().enumerate() {
            for project in ["default", "foreign"] {
                let request = api(&method.to_uppercase(), &filled(&template, project)).header("x-role", role);
                let status = server.send(request.body(Body::empty()).unwrap()).await.status;
                let forbidden = at < rank(needs);
                assert_eq!(status == 403, forbidden, "{role} {method} {template} in {project}: {status}");
                if !forbidden && project == "foreign" && template.contains("{project}") {
                    assert_eq!(status, 404, "{role} {method} {template}");
                }
            }
        }
        // What changes something is not for viewers.
        let computes = ["validate", "preview", "verify"].iter().any(|name| template.ends_with(name));
        assert_eq!(
            rank(needs) == 0 || (template == "/api/projects" && method == "get"),
            method == "get" || computes,
            "{method} {template}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_asked_stands_in_the_history() {
    let server = Server::authorized(Roles);
    let send = |method: &'static str, path: String, body: Value| {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        server.send(api(method, &path).header("x-role", "editor").body(body).unwrap())
    };
    send("POST", "/workflows".into(), json!({ "slug": "w", "definition": waiting() })).await;
    send("POST", "/workflows/w/publish".into(), Value::Null).await;
    let started = send("POST", "/workflows/w/runs".into(), json!({})).await.json();
    let run = started["run_id"].as_str().unwrap();
    assert_eq!(send("POST", format!("/runs/{run}/cancel"), Value::Null).await.status, 202);
    let id = run.parse().unwrap();
    let project = server.engine.project(&"default".parse().unwrap());
    project.wait_for_end(id, std::time::Duration::from_secs(60)).await.unwrap();
    let events = send("GET", format!("/runs/{run}/events"), Value::Null).await.json();
    let asked = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["type"] == "run_cancel_requested")
        .unwrap()
        .clone();
    assert_eq!(asked["data"]["by"], "editor");
}

/// Allows until it no longer does.
struct Revocable(Arc<AtomicBool>);

#[async_trait::async_trait]
impl Authorizer for Revocable {
    async fn authorize(&self, _: Access<'_>) -> Result<Grant, Denied> {
        if self.0.load(Ordering::Relaxed) { Ok(Grant::anonymous()) } else { Err(Denied::Unauthorized) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_role_ends_an_open_stream() {
    let allowed = Arc::new(AtomicBool::new(true));
    let server = Server::authorized(Revocable(allowed.clone()));
    server.publish("w", waiting()).await;
    let started = server.post("/workflows/w/runs", json!({})).await.json();
    let path = format!("/runs/{}/stream", started["run_id"].as_str().unwrap());
    let request = api("GET", &path).body(Body::empty()).unwrap();
    let mut body = server.router.clone().oneshot(request).await.unwrap().into_body();
    assert!(body.frame().await.is_some());
    allowed.store(false, Ordering::Relaxed);
    let revoked = tokio::time::Instant::now();
    while body.frame().await.is_some() {}
    assert!(revoked.elapsed() <= std::time::Duration::from_secs(7), "{:?}", revoked.elapsed());
}
