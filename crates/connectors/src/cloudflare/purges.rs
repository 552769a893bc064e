//! From the words of `cache purge` to zones and their items.

use super::access::{Access, purge_plan};
use super::args::{ItemArgs, ZoneArgs};
use super::commands::item_args;
use super::job::purge::{Options, Purge, PurgeTarget};
use super::open::{Opener, json, opening};
use super::targets::{self, Target, TargetKind};
use crate::connector::{OpenError, Opened, Opening, QueryError, Setup};

/// The opening of a purge.
pub fn of_purge(setup: &Setup, job: Purge) -> Opening {
    let options = job.options();
    let zones: Vec<&str> = options.zones.iter().map(|zone| zone.name.as_str()).collect();
    let mut rows = vec![("zones", zones.join(", "))];
    let what = if options.invalidate { "mark as stale" } else { "drop from the cache" };
    rows.push(("what", what.to_owned()));
    let warning = if options.kind.is_none() {
        "the whole cache of these zones is filled again from your origin"
    } else {
        "what is purged is filled again from your origin"
    };
    let warnings = vec![warning.to_owned()];
    let options = json(options);
    Opening { warnings, ..opening(setup, job, options, rows) }
}

impl Opener<'_> {
    /// `cache purge` and `cache invalidate`.
    pub(super) async fn purge(&self, invalidate: bool, which: &str) -> Result<Opened, QueryError> {
        let zones: ZoneArgs = self.args()?;
        let access = self.access(&zones.account)?;
        let kind = kind_of(which);
        let items = kind.map(|kind| item_args(kind, self.matches)).unwrap_or_default();
        let listed = match kind {
            Some(kind) => read_items(kind, &items)?,
            None => Vec::new(),
        };
        let (zones_of, items_of) =
            if items.auto_zone || (kind.is_some() && is_silent(&zones, self.setup)) {
                self.by_host(&access, listed).await?
            } else {
                let targets = self.zones_named(&access, &zones).await?;
                let items = vec![listed; targets.len()];
                (targets, items)
            };
        let plan = purge_plan(self.setup)?;
        let most = kind.map_or(1, |kind| kind.items_per_call(plan));
        let options = Options {
            account: access.api.account().map(str::to_owned),
            zones: zones_of
                .into_iter()
                .map(|zone| PurgeTarget { environment: zones.environment.clone(), ..zone })
                .collect(),
            kind,
            invalidate,
            plan,
            batch_size: zones.batch_size.unwrap_or(most).min(most) as usize,
        };
        Ok(Opened::Job(of_purge(self.setup, Purge::new(access, options, items_of))))
    }

    async fn zones_named(
        &self,
        access: &Access,
        args: &ZoneArgs,
    ) -> Result<Vec<PurgeTarget>, QueryError> {
        if args.all_zones {
            let zones = access.lookup.zones(self.context, access.api.account()).await?;
            return Ok(zones.iter().map(target).collect());
        }
        let mut named: Vec<String> = args.zone.iter().chain(&args.zone_list).cloned().collect();
        if named.is_empty() {
            named.extend(self.setup.setting("zone-id").map(str::to_owned));
        }
        if named.is_empty() {
            return Err(OpenError::usage(
                "no zone is named",
                "add --zone with its name or id, or --all-zones; `windlass zones list` lists them",
            )
            .into());
        }
        let mut targets: Vec<PurgeTarget> = Vec::new();
        for name in named {
            let id = access.lookup.resolve_zone(self.context, &name).await?;
            if !targets.iter().any(|known| known.id == id) {
                targets.push(PurgeTarget { id, name, environment: None });
            }
        }
        Ok(targets)
    }

    /// Each item in the zone of its own host.
    async fn by_host(
        &self,
        access: &Access,
        items: Vec<Target>,
    ) -> Result<(Vec<PurgeTarget>, Vec<Vec<Target>>), QueryError> {
        let hosts: Option<Vec<String>> = items.iter().map(|item| item.host.clone()).collect();
        let hosts = hosts.ok_or_else(|| {
            OpenError::usage("tags have no host that could say their zone", "add --zone")
        })?;
        let zones = access.lookup.zones(self.context, access.api.account()).await?;
        let assigned = targets::assign(&hosts, &zones)?;
        let mut found: Vec<PurgeTarget> = Vec::new();
        let mut items_of: Vec<Vec<Target>> = Vec::new();
        for (item, zone) in items.into_iter().zip(assigned) {
            let place = found.iter().position(|known| known.id == zone.id);
            let place = place.unwrap_or_else(|| {
                found.push(target(zone));
                items_of.push(Vec::new());
                found.len() - 1
            });
            if let Some(items) = items_of.get_mut(place) {
                items.push(item);
            }
        }
        Ok((found, items_of))
    }
}

fn target(zone: &super::api::Zone) -> PurgeTarget {
    PurgeTarget { id: zone.id.clone(), name: zone.name.clone(), environment: None }
}

/// Whether nothing says which zone.
fn is_silent(args: &ZoneArgs, setup: &Setup) -> bool {
    let named = !args.zone.is_empty() || !args.zone_list.is_empty() || args.all_zones;
    !named && setup.setting("zone-id").is_none()
}

fn kind_of(which: &str) -> Option<TargetKind> {
    match which {
        "files" => Some(TargetKind::Files),
        "tags" => Some(TargetKind::Tags),
        "hosts" => Some(TargetKind::Hosts),
        "prefixes" => Some(TargetKind::Prefixes),
        _ => None,
    }
}

fn read_items(kind: TargetKind, args: &ItemArgs) -> Result<Vec<Target>, OpenError> {
    let mut items = Vec::new();
    for text in &args.items {
        items.push(kind.read(text)?);
    }
    if let Some(path) = &args.file {
        items.extend(targets::read_items(kind, path, args.field.as_deref())?);
    }
    if items.is_empty() {
        return Err(OpenError::usage("nothing says what to purge", "see --help for the items"));
    }
    Ok(targets::unique(items))
}
