//! Run with `cargo run --example define_in_rust`: a workflow written in Rust, checked and run in memory.
//!
//! The builder yields the same document that the API takes, so what is written in Rust can be looked at, edited and
//! versioned like any other workflow.

use std::error::Error;
use std::sync::Arc;

use meshhook::clock::SystemClock;
use meshhook::definition::{GraphSpec, NodeSpec, Workflow};
use meshhook::engine::{Engine, StartRequest};
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::node::OnItemError;
use meshhook::store::memory::MemoryStore;
use serde_json::json;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let each_line = GraphSpec::new()
        .node(NodeSpec::transform("price", "{sku: item.sku, total: item.count * item.price}"));
    let workflow = Workflow::new("Invoice")
        .description("adds up an order")
        .var("free_shipping_from", 50)
        .node(NodeSpec::for_each("lines", "input.lines", &each_line).on_item_error(OnItemError::Fail))
        .node(NodeSpec::transform("sum", "{lines: input, total: sum(input[].total)}"))
        .node(NodeSpec::branch("big", "input.total >= vars.free_shipping_from"))
        .node(NodeSpec::template("free", json!({ "total": "{{ input.total }}", "shipping": 0 })))
        .node(NodeSpec::template("paid", json!({ "total": "{{ input.total + `5` }}", "shipping": 5 })))
        .edge("lines", "sum")
        .edge("sum", "big")
        .edge_from_port("big", "true", "free")
        .edge_from_port("big", "false", "paid");
    println!("the document:\n{:#}\n", workflow.document());

    let engine = Engine::builder(Arc::new(MemoryStore::new(Arc::new(SystemClock)))).start()?;
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("invoice")?;
    project.create_workflow(&slug, workflow.document()).await?;
    let published = project.publish(&slug).await?;
    println!("version {} has the digest {}\n", published.version, published.digest);

    let order = json!({ "lines": [{ "sku": "tea", "count": 3, "price": 7.5 }, { "sku": "cup", "count": 1, "price": 12 }] });
    let started = project.start_run(&slug, StartRequest::new(order)).await?;
    let run = project.run(started.run).await?;
    println!("the run {}: {}", run.status.as_str(), run.output.unwrap_or_default());
    Ok(())
}
