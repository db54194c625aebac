#include "planner/program/embedding_graph.h"

namespace tunesmith::planner {

ForwardGraph EmbeddingGraph(const Program& program, const ModelParameters& parameters,
                            const EmbeddingBindings& bindings) {
  const double scale = program.inputs.model.embedding_scale;
  ForwardGraph graph(program);
  ValueId x = graph.Embedding("embedded", graph.Bind("tokens", bindings.tokens),
                              graph.Weight(parameters.embedding), scale > 0 ? scale : 1.0);
  if (parameters.positions >= 0)
    x = graph.AddEmbedding("placed", graph.Bind("positions", bindings.positions),
                           graph.Weight(parameters.positions), x);
  graph.BindOutput(x, bindings.output, bindings.output_gradient);
  return graph;
}

}  // namespace tunesmith::planner
