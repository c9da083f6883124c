//! Run with `cargo run --example custom_node`: a node type of your own, with its config checked at publishing.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use meshhook::clock::{Entropy as _, SystemClock, SystemEntropy};
use meshhook::engine::{Engine, StartRequest};
use meshhook::exec::{Attempt, AttemptError, Level, Node, Outcome};
use meshhook::failure::Failure;
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::secret::{MasterKey, SecretName, SecretValue, StaticKeys};
use meshhook::store::memory::MemoryStore;
use serde_json::json;

/// What a definition says about a `warehouse_pick` node. Its JSON Schema is what editors show and publishing checks.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pick {
    /// What to take from the shelf.
    sku: String,
    /// How many of it.
    #[schemars(range(min = 1, max = 100))]
    count: u32,
    /// What the warehouse knows us by: `"{{ secrets.warehouse_token }}"` in a definition.
    token: String,
}

/// Takes things from a shelf. A real one would talk to a warehouse.
struct WarehousePick {
    on_shelf: u32,
}

#[async_trait::async_trait]
impl Node for WarehousePick {
    const KIND: &'static str = "warehouse_pick";
    type Config = Pick;

    fn description() -> &'static str {
        "takes things from a shelf"
    }

    fn ports() -> &'static [&'static str] {
        &["out", "sold_out"]
    }

    // Only in these members may `secrets.…` stand; the config below then holds the secret itself.
    fn secret_fields() -> &'static [&'static str] {
        &["token"]
    }

    async fn execute(&self, config: Pick, attempt: &Attempt) -> Result<Outcome, AttemptError> {
        if attempt.number == 1 {
            // The engine retries; the idempotency key stays the same, so that the warehouse can tell.
            attempt.log.write(Level::Warn, "the robot is charging", None);
            return Err(Failure::retryable("robot_busy", "the robot is charging").into());
        }
        if config.count > self.on_shelf {
            let mut outcome = Outcome::out(json!({ "missing": config.count - self.on_shelf }));
            outcome.port = "sold_out".into();
            return Ok(outcome);
        }
        // A real one would send the token. Wherever it comes back, `***` is stored in its place.
        let receipt = format!("signed with {}", config.token);
        Ok(Outcome::out(json!({ "sku": config.sku, "picked": config.count, "receipt": receipt })))
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key)?;
    let keys = StaticKeys::new(MasterKey::from_bytes(key));
    let engine =
        Engine::builder(store).key_provider(Arc::new(keys)).node(WarehousePick { on_shelf: 10 }).start()?;
    let project = engine.project(&ProjectId::default_project());
    let token = SecretValue::new("warehouse-token-1".to_owned());
    project.set_secret(&SecretName::new("warehouse_token")?, &token).await?;
    let slug = WorkflowSlug::new("pick")?;
    let definition = json!({
        "name": "Pick",
        "nodes": [
            { "id": "pick", "type": "warehouse_pick",
              "config": { "sku": "{{ input.sku }}", "count": "{{ input.count }}", "token": "{{ secrets.warehouse_token }}" },
              "retry": { "initial": "100ms" } },
            { "id": "sorry", "type": "transform", "config": { "template": "{{ input.missing }} too many" } },
        ],
        "edges": [{ "from": "pick", "port": "sold_out", "to": "sorry" }],
    });
    project.create_workflow(&slug, definition).await?;
    project.publish(&slug).await?;
    for count in [3, 12] {
        let input = json!({ "sku": "cup", "count": count });
        let started = project.start_run(&slug, StartRequest::new(input)).await?;
        project.wait_for_end(started.run, Duration::from_secs(10)).await?;
        let run = project.run(started.run).await?;
        println!("{count}: {} {}", run.status.as_str(), run.output.unwrap_or_default());
    }

    let wrong = json!({ "name": "Wrong", "nodes": [
        { "id": "pick", "type": "warehouse_pick", "config": { "sku": "{{ secrets.warehouse_token }}", "cuont": 3 } } ] });
    for problem in project.validate(&slug, Some(wrong)).await?.problems {
        println!("problem: {} at {}: {}", problem.code.as_str(), problem.path, problem.message);
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
