//! The objects of a large mesh, as YAML.

/// The namespace of a deployment.
pub(crate) fn namespace(deployment: usize) -> String {
    format!("team-{}", deployment / 10)
}

/// Deployments of so many replicas with a Service and an account each, over enrolled namespaces of ten.
pub(crate) fn manifests(pods: usize, replicas_each: usize) -> String {
    let mut text = String::new();
    for deployment in 0..pods.div_ceil(replicas_each) {
        let namespace = namespace(deployment);
        if deployment % 10 == 0 {
            text += &format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{istio.io/dataplane-mode: ambient}}\n"
            );
        }
        let replicas = replicas_each.min(pods - deployment * replicas_each);
        text += &format!(
            "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: app-{deployment}, namespace: {namespace}}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{name: app-{deployment}, namespace: {namespace}}}\n\
             spec: {{selector: {{app: app-{deployment}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n\
             ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app-{deployment}, namespace: {namespace}}}\n\
             spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: app-{deployment}}}}}\n  template:\n    \
             metadata: {{labels: {{app: app-{deployment}}}}}\n    spec:\n      serviceAccountName: app-{deployment}\n      \
             containers: [{{name: app, image: app, ports: [{{name: http, containerPort: 8080}}]}}]\n"
        );
    }
    text
}
