//! Which route takes a request: a full match before a greedy one before `$default`, and an explicit
//! method before `ANY`.

use gateway::limits::Limits;

use crate::harness::{Does, TEMPLATE, Tour, template};

/// A template whose routes each have a function of their own, that answers the route's key.
async fn tour(routes: &[&'static str]) -> Tour {
    let mut yaml = TEMPLATE.to_owned();
    let mut functions = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let name = format!("route{index}");
        let properties = match route.split_once(' ') {
            Some((method, path)) => {
                format!(
                    "\n          Properties: {{ ApiId: !Ref HttpApi, Method: {method}, Path: \"{path}\" }}"
                )
            }
            None => String::new(),
        };
        yaml += &format!(
            "
  Route{index}:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: target/{name}/
      Events:
        Route:
          Type: HttpApi{properties}
"
        );
        functions.push((&*name.leak(), Does::Answer((*route).into())));
    }
    Tour::of(template(&yaml), functions, Limits::default()).await
}

async fn taker(tour: &Tour, method: &str, path: &str) -> String {
    let method = method.parse().unwrap();
    let request = reqwest::Client::new().request(method, tour.http_url(path));
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_full_match_comes_before_a_greedy_one_before_default() {
    let routes = [
        "$default",
        "ANY /{proxy+}",
        "GET /pets/{proxy+}",
        "GET /pets/dog/{id}",
        "GET /pets/dog/1",
        "GET /{kind}/cat/2",
    ];
    let tour = tour(&routes).await;
    let requests = [
        ("GET", "/pets/dog/1", "GET /pets/dog/1"),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
        // The greedy route begins alike, but a full match is a full match.
        ("GET", "/pets/cat/2", "GET /{kind}/cat/2"),
        ("GET", "/pets/a/b/c/d", "GET /pets/{proxy+}"),
        ("POST", "/pets/dog/1", "ANY /{proxy+}"),
        ("GET", "/other", "ANY /{proxy+}"),
        ("GET", "/", "$default"),
    ];
    for (method, path, route) in requests {
        assert_eq!(taker(&tour, method, path).await, route, "{method} {path}");
    }
}

#[tokio::test]
async fn an_explicit_method_comes_before_any() {
    let tour = tour(&["ANY /pets", "GET /pets", "GET /{proxy+}", "ANY /pets/{id}"]).await;
    let requests = [
        ("GET", "/pets", "GET /pets"),
        ("POST", "/pets", "ANY /pets"),
        // The path decides first.
        ("GET", "/pets/1", "ANY /pets/{id}"),
        ("GET", "/pets/1/2", "GET /{proxy+}"),
    ];
    for (method, path, route) in requests {
        assert_eq!(taker(&tour, method, path).await, route, "{method} {path}");
    }
}

#[tokio::test]
async fn a_greedy_parameter_has_the_rest_of_the_path() {
    let tour = tour(&["GET /files/{path+}"]).await;
    taker(&tour, "GET", "/files/a/b%20c").await;
    let event = tour.event("route0").await;
    assert_eq!(event["routeKey"], "GET /files/{path+}");
    assert_eq!(event["pathParameters"]["path"], "a/b c");
}

#[tokio::test]
async fn the_default_route_is_called_so() {
    let tour = tour(&["$default"]).await;
    taker(&tour, "PATCH", "/any/where").await;
    let event = tour.event("route0").await;
    assert_eq!(event["routeKey"], "$default");
    assert_eq!(event["requestContext"]["routeKey"], "$default");
    assert_eq!(event["rawPath"], "/any/where");
    assert_eq!(event.get("pathParameters"), None);
}
