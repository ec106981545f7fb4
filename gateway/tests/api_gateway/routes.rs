//! Which route of the HTTP API a request takes.

use gateway::limits::GatewayLimits;
use gateway::template::HttpRoute;

use crate::harness::{Behavior, TEMPLATE, TestGateway, template};

/// A gateway with these GET routes. Each route's function returns the route's path.
async fn gateway_with_routes(paths: &[&'static str]) -> TestGateway {
    let mut template = template(TEMPLATE);
    let mut functions = Vec::new();
    for (index, path) in paths.iter().copied().enumerate() {
        let function = format!("route{index}");
        template.http.push(HttpRoute {
            method: "GET".to_owned(),
            path: path.to_owned(),
            function: function.clone(),
        });
        functions.push((&*function.leak(), Behavior::Return(path.into())));
    }
    TestGateway::new(template, functions, GatewayLimits::default()).await
}

#[tokio::test]
async fn a_fixed_segment_comes_before_a_parameter() {
    let gateway =
        gateway_with_routes(&["/pets/dog/{id}", "/pets/dog/1", "/{kind}/cat/2", "/pets/{kind}/3"]).await;
    let requests = [
        ("/pets/dog/1", "/pets/dog/1"),
        ("/pets/dog/2", "/pets/dog/{id}"),
        // The earlier segment decides.
        ("/pets/dog/3", "/pets/dog/{id}"),
        ("/pets/cat/3", "/pets/{kind}/3"),
        // Other routes share the beginning, but only this one matches as a whole.
        ("/pets/cat/2", "/{kind}/cat/2"),
    ];
    for (path, route) in requests {
        assert_eq!(gateway.get_text(path).await, (200, route.to_owned()), "{path}");
    }
}
