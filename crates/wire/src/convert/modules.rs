//! Modules and their packages, as Viam's clients speak of them.

use domain::{
    Checksum, MAX_TAG, MAX_TAGS, MAX_VERSION, Module, ModuleApp, ModuleFile, ModuleModel, ModuleRef,
    ModuleTexts, ModuleVersion, Organization, Platform, Refusal, Version, Visibility,
};

use super::{id, timestamp};
use crate::viam::app::packages::v1 as packages;
use crate::viam::app::v1 as pb;

/// Reads who may have a module.
///
/// # Errors
/// Names the field and what is allowed.
pub fn parse_visibility(visibility: i32) -> Result<Visibility, Refusal> {
    match pb::Visibility::try_from(visibility) {
        Ok(pb::Visibility::Private) => Ok(Visibility::Private),
        Ok(pb::Visibility::Public) => Ok(Visibility::Public),
        Ok(pb::Visibility::PublicUnlisted) => Ok(Visibility::PublicUnlisted),
        Ok(pb::Visibility::Unspecified) | Err(_) => {
            Err(Refusal::invalid("visibility", "must be private, public or public_unlisted"))
        }
    }
}

/// Reads the number of a version.
///
/// # Errors
/// Names the field and the rule.
pub fn parse_version(field: &str, text: &str) -> Result<Version, Refusal> {
    let version = if text.len() > MAX_VERSION { None } else { Version::parse(text).ok() };
    let rule = "must be a semantic version of at most 128 characters, such as 1.2.3 or 1.2.3-rc.1";
    version.ok_or_else(|| Refusal::invalid(field, rule))
}

/// What is about to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Of which module.
    pub module: ModuleRef,
    /// Which version.
    pub version: Version,
    /// For which machines.
    pub platform: Platform,
    /// What they must have besides.
    pub tags: Vec<String>,
}

/// Reads what is about to be uploaded.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse_file_info(info: pb::ModuleFileInfo) -> Result<Announced, Refusal> {
    let pb::ModuleFileInfo { module_id, version, platform, platform_tags: tags } = info;
    let announced = Announced {
        module: id("module_file_info.module_id", &module_id)?,
        version: parse_version("module_file_info.version", &version)?,
        platform: id("module_file_info.platform", &platform)?,
        tags,
    };
    let field = "module_file_info.platform_tags";
    if announced.tags.len() > MAX_TAGS {
        return Err(Refusal::invalid(field, format!("must be at most {MAX_TAGS}")));
    }
    let good =
        |tag: &String| (1..=MAX_TAG).contains(&tag.len()) && tag.bytes().all(|it| it.is_ascii_graphic());
    match announced.tags.iter().position(|tag| !good(tag)) {
        Some(bad) => {
            let rule = format!("must be 1 to {MAX_TAG} visible ASCII characters");
            Err(Refusal::invalid(format!("{field}[{bad}]"), rule))
        }
        None => Ok(announced),
    }
}

/// Reads what a module says about itself.
#[must_use]
pub fn parse_texts(request: pb::UpdateModuleRequest) -> ModuleTexts {
    let pb::UpdateModuleRequest {
        module_id: _,
        visibility: _,
        url,
        description,
        models,
        entrypoint,
        first_run,
        apps,
        markdown_description: markdown,
    } = request;
    let models = models.into_iter().map(parse_model).collect();
    let apps = apps.into_iter().map(parse_app).collect();
    ModuleTexts { url, description, entrypoint, first_run, markdown, models, apps }
}

fn parse_model(it: pb::Model) -> ModuleModel {
    let pb::Model { api, model, markdown_documentation: markdown, description, supported_hardware } = it;
    ModuleModel { api, model, markdown, description, supported_hardware }
}

fn parse_app(it: pb::App) -> ModuleApp {
    let pb::App { name, r#type: kind, entrypoint, fragment_ids, logo_path, customizations, allowed_org_ids } =
        it;
    let machine_picker = customizations.and_then(|it| it.machine_picker);
    ModuleApp {
        name,
        kind,
        entrypoint,
        fragment_ids,
        logo_path,
        machine_picker: machine_picker.map(|it| [it.heading, it.subheading]),
        allowed_organizations: allowed_org_ids.map(|it| it.ids),
    }
}

fn model(it: ModuleModel, markdown: bool) -> pb::Model {
    pb::Model {
        api: it.api,
        model: it.model,
        markdown_documentation: it.markdown.filter(|_| markdown),
        description: it.description,
        supported_hardware: it.supported_hardware,
    }
}

fn app(it: ModuleApp) -> pb::App {
    let picker =
        |[heading, subheading]: [Option<String>; 2]| pb::MachinePickerCustomizations { heading, subheading };
    let customizations = |it| pb::AppCustomizations { machine_picker: Some(picker(it)) };
    pb::App {
        name: it.name,
        r#type: it.kind,
        entrypoint: it.entrypoint,
        fragment_ids: it.fragment_ids,
        logo_path: it.logo_path,
        customizations: it.machine_picker.map(customizations),
        allowed_org_ids: it.allowed_organizations.map(|ids| pb::AllowedOrgIDs { ids }),
    }
}

/// What stands before the colon of a module's id, and before the slash of a package's.
#[must_use]
pub fn prefix(owner: &Organization) -> String {
    owner.public_namespace.as_ref().map_or_else(|| owner.id.to_string(), ToString::to_string)
}

/// The id of a module.
#[must_use]
pub fn module_id(it: &Module, owner: &Organization) -> String {
    format!("{}:{}", prefix(owner), it.name)
}

/// A module, with what it and each of its versions say, and with documentation if that is asked for.
#[must_use]
pub fn module(
    it: &Module,
    owner: &Organization,
    said: &dyn Fn(domain::TextsId) -> ModuleTexts,
    markdown: bool,
) -> pb::Module {
    let texts = said(it.texts);
    let visibility = match it.visibility {
        Visibility::Private => pb::Visibility::Private,
        Visibility::Public => pb::Visibility::Public,
        Visibility::PublicUnlisted => pb::Visibility::PublicUnlisted,
    };
    pb::Module {
        module_id: module_id(it, owner),
        name: it.name.to_string(),
        visibility: visibility.into(),
        versions: it.versions.iter().map(|it| version(it, said(it.texts), markdown)).collect(),
        url: texts.url,
        description: texts.description,
        models: texts.models.into_iter().map(|it| model(it, markdown)).collect(),
        organization_id: it.organization.to_string(),
        entrypoint: texts.entrypoint,
        public_namespace: owner.public_namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        first_run: texts.first_run,
        markdown_description: texts.markdown.filter(|_| markdown),
        apps: texts.apps.into_iter().map(app).collect(),
        ..Default::default()
    }
}

fn version(it: &ModuleVersion, texts: ModuleTexts, markdown: bool) -> pb::VersionHistory {
    let upload = |file: &ModuleFile| pb::Uploads {
        platform: file.platform.to_string(),
        uploaded_at: Some(timestamp(file.uploaded_at)),
    };
    pb::VersionHistory {
        version: it.number.to_string(),
        files: it.files.iter().map(upload).collect(),
        models: texts.models.into_iter().map(|it| model(it, markdown)).collect(),
        entrypoint: texts.entrypoint,
        first_run: texts.first_run,
        markdown_description: texts.markdown.filter(|_| markdown),
        apps: texts.apps.into_iter().map(app).collect(),
        deprecated_status: None,
    }
}

/// Which file of which module a package is: the module, and what the file is called after it.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse_package(request: &packages::GetPackageRequest) -> Result<(ModuleRef, String), Refusal> {
    let form =
        "must be an organization's namespace or id, a slash and the name of a module, such as acme/arm";
    let module = ModuleRef::parse(&request.id, '/').map_err(|_| Refusal::invalid("id", form))?;
    let modules = packages::PackageType::Module;
    match request.r#type.map(packages::PackageType::try_from) {
        None => {}
        Some(Ok(kind)) if kind == modules || kind == packages::PackageType::Unspecified => {}
        Some(_) => return Err(Refusal::invalid("type", "must be that of modules: no others are served")),
    }
    let called = match request.platform.as_deref().filter(|platform| !platform.is_empty()) {
        Some(platform) => {
            let version = parse_version("version", &request.version)?;
            domain::file_name(&version, &id("platform", platform)?)
        }
        None => request.version.clone(),
    };
    Ok((module, called))
}

/// A file of a module as a package.
#[must_use]
pub fn package(
    it: &Module,
    owner: &Organization,
    (version, file): (&ModuleVersion, &ModuleFile),
    url: String,
) -> packages::Package {
    let checksum: Checksum = file.sha256;
    packages::Package {
        info: Some(packages::PackageInfo {
            organization_id: it.organization.to_string(),
            name: it.name.to_string(),
            version: version.number.to_string(),
            r#type: packages::PackageType::Module.into(),
            platform: Some(file.platform.to_string()),
            files: Vec::new(),
            metadata: None,
        }),
        url,
        created_on: Some(timestamp(file.uploaded_at)),
        checksum: checksum.to_string(),
        id: format!("{}/{}", prefix(owner), it.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: &str, version: &str, platform: Option<&str>) -> packages::GetPackageRequest {
        packages::GetPackageRequest {
            id: id.to_owned(),
            version: version.to_owned(),
            platform: platform.map(str::to_owned),
            ..Default::default()
        }
    }

    #[test]
    fn a_package_is_asked_for_in_two_ways() {
        let cli = asked("acme/arm", "1.0.0-linux-arm64", None);
        let other = asked("acme/arm", "1.0.0", Some("linux/arm64"));
        assert_eq!(parse_package(&cli).unwrap(), parse_package(&other).unwrap());
        assert!(parse_package(&asked("acme:arm", "1.0.0-any", None)).is_err());
        let model = packages::GetPackageRequest { r#type: Some(2), ..cli };
        assert!(parse_package(&model).is_err());
    }

    #[test]
    fn what_is_wrong_with_an_upload_is_named() {
        let good = pb::ModuleFileInfo {
            module_id: "acme:arm".to_owned(),
            version: "1.0.0".to_owned(),
            platform: "linux/arm64".to_owned(),
            platform_tags: vec!["distro:debian".to_owned()],
        };
        assert!(parse_file_info(good.clone()).is_ok());
        let with = |change: fn(&mut pb::ModuleFileInfo)| {
            let mut info = good.clone();
            change(&mut info);
            match parse_file_info(info) {
                Err(Refusal::Invalid { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(with(|info| info.module_id.clear()), "module_file_info.module_id");
        assert_eq!(with(|info| info.version = "v1".to_owned()), "module_file_info.version");
        assert_eq!(
            with(|info| info.version = format!("1.0.0-{}", "a".repeat(200))),
            "module_file_info.version"
        );
        assert_eq!(with(|info| info.platform = "pi".to_owned()), "module_file_info.platform");
        assert_eq!(
            with(|info| info.platform_tags.push("a b".to_owned())),
            "module_file_info.platform_tags[1]"
        );
        assert_eq!(
            with(|info| info.platform_tags = vec!["x".to_owned(); 33]),
            "module_file_info.platform_tags"
        );
    }
}
