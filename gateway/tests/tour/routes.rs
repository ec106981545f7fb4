//! Which route of the HTTP API takes a request.

use gateway::limits::Limits;
use gateway::template::HttpRoute;

use crate::harness::{Does, TEMPLATE, Tour, template};

/// A gateway with these GET routes. Each has a function of its own, which answers the route's path.
async fn tour(paths: &[&'static str]) -> Tour {
    let mut template = template(TEMPLATE);
    let mut functions = Vec::new();
    for (index, path) in paths.iter().copied().enumerate() {
        let function = format!("route{index}");
        template.http.push(HttpRoute {
            method: "GET".to_owned(),
            path: path.to_owned(),
            function: function.clone(),
        });
        functions.push((&*function.leak(), Does::Answer(path.into())));
    }
    Tour::of(template, functions, Limits::default()).await
}

#[tokio::test]
async fn a_fixed_segment_comes_before_a_parameter() {
    let tour = tour(&["/pets/dog/{id}", "/pets/dog/1", "/{kind}/cat/2", "/pets/{kind}/3"]).await;
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
        assert_eq!(tour.get_text(path).await, (200, route.to_owned()), "{path}");
    }
}
