#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/question_flags.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

struct CatalogFlags {
  std::string name;
  std::string path;
  std::string request_id;
  Output output;
};

template <typename Answer>
int Report(const absl::StatusOr<Answer>& answer, const Output& output,
           Listing (*records)(const Answer&)) {
  if (!answer.ok()) return Fail(answer.status());
  Print(output, *answer, records(*answer));
  return kExitOk;
}

template <typename Answer>
Listing OneModel(const Answer& answer) {
  return ListingOf(ModelListing, answer.model());
}

template <typename Answer>
Listing OneGpu(const Answer& answer) {
  return ListingOf(GpuListing, answer.gpu());
}

Listing Models(const v1::ListModelsResponse& answer) { return ModelListing(answer.models()); }
Listing Gpus(const v1::ListGpusResponse& answer) { return GpuListing(answer.gpus()); }
Listing Clusters(const v1::ListClustersResponse& answer) {
  return ClusterListing(answer.clusters());
}

int CreateModel(const Globals& globals, const CatalogFlags& flags) {
  absl::StatusOr<v1::ModelSpec> model = ModelSpecOfFiles(flags.path);
  if (!model.ok()) return Fail(model.status());
  v1::CreateModelRequest request;
  *request.mutable_model() = *std::move(model);
  request.mutable_model()->set_name(flags.name);
  request.set_request_id(flags.request_id);
  return Report(globals.MakeRecommender()->CreateModel(request), flags.output,
                OneModel<v1::CreateModelResponse>);
}

int CreateGpu(const Globals& globals, const CatalogFlags& flags) {
  v1::GetGpuResponse file;
  const absl::Status read = convert::ReadJsonFile(flags.path, &file);
  if (!read.ok()) return Fail(read);
  v1::CreateGpuRequest request;
  *request.mutable_gpu() = file.gpu();
  request.mutable_gpu()->set_name(flags.name);
  request.set_request_id(flags.request_id);
  return Report(globals.MakeRecommender()->CreateGpu(request), flags.output,
                OneGpu<v1::CreateGpuResponse>);
}

using Run = int (*)(const Globals&, const CatalogFlags&);

CLI::App* AddVerb(CLI::App& parent, Globals& globals, const char* verb, const char* description,
                  std::shared_ptr<CatalogFlags> flags, Run run) {
  CLI::App* command = parent.add_subcommand(verb, description);
  command->fallthrough();
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags, run] {
    globals.run = [&globals, flags, run] { return run(globals, *flags); };
  });
  return command;
}

// `models` alone lists; `models get NAME` and `models create NAME ...` are verbs of it.
CLI::App* AddCatalog(CLI::App& app, Globals& globals, const char* name, const char* description,
                     Run list) {
  CLI::App* parent = app.add_subcommand(name, description);
  auto flags = std::make_shared<CatalogFlags>();
  AddOutputFlags(*parent, flags->output);
  // Also called, after its verb's, when a verb is given.
  parent->callback([&globals, flags, list, parent] {
    if (!parent->get_subcommands().empty()) return;
    globals.run = [&globals, flags, list] { return list(globals, *flags); };
  });
  return parent;
}

void AddCreate(CLI::App& parent, Globals& globals, const char* description, const char* file_flag,
               const char* file_description, Run run) {
  auto flags = std::make_shared<CatalogFlags>();
  CLI::App* command = AddVerb(parent, globals, "create", description, flags, run);
  command->add_option("NAME", flags->name, "The name that questions may use")->required();
  command->add_option(file_flag, flags->path, file_description)->required();
  command->add_option("--request-id", flags->request_id, "Repeating it with the same id adds once");
}

}  // namespace

void AddModels(CLI::App& app, Globals& globals) {
  CLI::App* parent =
      AddCatalog(app, globals, "models", "List the models known by name, show or add one",
                 [](const Globals& g, const CatalogFlags& flags) {
                   return Report(g.MakeRecommender()->ListModels(), flags.output, Models);
                 });
  auto get = std::make_shared<CatalogFlags>();
  AddVerb(*parent, globals, "get", "Show a model", get,
          [](const Globals& g, const CatalogFlags& flags) {
            return Report(g.MakeRecommender()->GetModel(flags.name), flags.output,
                          OneModel<v1::GetModelResponse>);
          })
      ->add_option("NAME", get->name, "Its name")
      ->required();
  AddCreate(*parent, globals, "Add a model to the server's catalog", "--from",
            "Directory with config.json, or a .gguf file", CreateModel);
}

void AddGpus(CLI::App& app, Globals& globals) {
  CLI::App* parent =
      AddCatalog(app, globals, "gpus", "List the devices known by name, show or add one",
                 [](const Globals& g, const CatalogFlags& flags) {
                   return Report(g.MakeRecommender()->ListGpus(), flags.output, Gpus);
                 });
  auto get = std::make_shared<CatalogFlags>();
  AddVerb(*parent, globals, "get", "Show a device", get,
          [](const Globals& g, const CatalogFlags& flags) {
            return Report(g.MakeRecommender()->GetGpu(flags.name), flags.output,
                          OneGpu<v1::GetGpuResponse>);
          })
      ->add_option("NAME", get->name, "Its name")
      ->required();
  AddCreate(*parent, globals, "Add a device to the server's catalog", "--from",
            "JSON file of its figures, as `gpus get -o json` prints it", CreateGpu);
}

void AddClusters(CLI::App& app, Globals& globals) {
  auto flags = std::make_shared<CatalogFlags>();
  AddVerb(app, globals, "clusters", "List where jobs can run, and what is free there", flags,
          [](const Globals& g, const CatalogFlags& chosen) {
            return Report(MakeClusterClient(g.Options())->List(), chosen.output, Clusters);
          });
}

}  // namespace tunesmith::client
