//! `viam.app.packages.v1.PackageService`: where a module's file can be downloaded.

use domain::{Kind, Refusal, query};
use tonic::{Request, Response, Status};
use wire::convert::modules;
use wire::viam::app::packages::v1 as pb;
use wire::viam::app::packages::v1::package_service_server::PackageService;

use super::App;
use super::viam::owned;
use crate::call::Call;
use crate::failure::Failure;
use crate::origin::Origin;

#[tonic::async_trait]
impl PackageService for App {
    async fn get_package(
        &self,
        request: Request<pb::GetPackageRequest>,
    ) -> Result<Response<pb::GetPackageResponse>, Status> {
        let call = Call::of(request.extensions())?;
        let origin = Origin::of(request.extensions())?;
        let package = get(self, &call, &origin, request.get_ref())?;
        Ok(Response::new(pb::GetPackageResponse { package: Some(package) }))
    }
}

fn get(
    app: &App,
    call: &Call,
    origin: &Origin,
    request: &pb::GetPackageRequest,
) -> Result<pb::Package, Failure> {
    let (module, called) = modules::parse_package(request)?;
    let (module, owner) = app.engine.read(call, None, |state, principal, _| {
        owned(state, query::get_module(state, principal, &module)?)
    })?;
    let found = module.file_called(&called).ok_or(Refusal::NotFound(Kind::Module))?;
    let with_url = request.include_url.unwrap_or(false);
    let url = if with_url { origin.download(&module, &owner, found) } else { String::new() };
    Ok(modules::package(&module, &owner, found, url))
}
