#include "trainer/comm/mpi_plugin.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

MPI_Comm world = MPI_COMM_NULL;
std::vector<MPI_Request> requests;  // by handle; MPI_REQUEST_NULL where it is free

int32_t Keep(MPI_Request request) {
  const auto free = std::find(requests.begin(), requests.end(), MPI_REQUEST_NULL);
  const auto handle = static_cast<int32_t>(free - requests.begin());
  if (free == requests.end()) {
    requests.push_back(request);
  } else {
    *free = request;
  }
  return handle;
}

int Start(int64_t* rank, int64_t* size) {
  int provided = 0, rank_found = 0, size_found = 0;
  int error = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  if (error == MPI_SUCCESS && provided < MPI_THREAD_SERIALIZED) error = MPI_ERR_OTHER;
  // A communicator of our own: nobody else's messages come in between. Errors are returned, not fatal.
  if (error == MPI_SUCCESS) error = MPI_Comm_dup(MPI_COMM_WORLD, &world);
  if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
  if (error == MPI_SUCCESS) error = MPI_Comm_rank(world, &rank_found);
  if (error == MPI_SUCCESS) error = MPI_Comm_size(world, &size_found);
  *rank = rank_found;
  *size = size_found;
  return error;
}

int Send(const void* data, int64_t bytes, int64_t peer, int32_t tag, int32_t* handle) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int error = MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, static_cast<int>(peer), tag,
                              world, &request);
  if (error == MPI_SUCCESS) *handle = Keep(request);
  return error;
}

int Receive(void* data, int64_t bytes, int64_t peer, int32_t tag, int32_t* handle) {
  MPI_Request request = MPI_REQUEST_NULL;
  const int source = peer == TUNESMITH_MPI_ANY_RANK ? MPI_ANY_SOURCE : static_cast<int>(peer);
  const int error =
      MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, source, tag, world, &request);
  if (error == MPI_SUCCESS) *handle = Keep(request);
  return error;
}

int Test(int32_t handle, int32_t* is_done, int64_t* peer) {
  int done = 0;
  MPI_Status status = {};
  const int error = MPI_Test(&requests[static_cast<size_t>(handle)], &done, &status);
  *is_done = done;
  if (done != 0 && peer != nullptr) *peer = status.MPI_SOURCE;
  return error;
}

int Cancel(int32_t handle) {
  MPI_Request& request = requests[static_cast<size_t>(handle)];
  const int error = MPI_Cancel(&request);
  return error == MPI_SUCCESS ? MPI_Request_free(&request) : error;
}

int Finish() {
  const int error = MPI_Comm_free(&world);
  return error == MPI_SUCCESS ? MPI_Finalize() : error;
}

void ErrorText(int error, char* text, int64_t capacity) {
  char found[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  MPI_Error_string(error, found, &length);
  std::strncpy(text, found, static_cast<size_t>(capacity - 1));
  text[capacity - 1] = '\0';
}

}  // namespace

const TunesmithMpi* tunesmith_mpi_plugin() {
  static const TunesmithMpi plugin = {.interface_number = TUNESMITH_MPI_INTERFACE,
                                      .start = Start,
                                      .send = Send,
                                      .receive = Receive,
                                      .test = Test,
                                      .cancel = Cancel,
                                      .finish = Finish,
                                      .error_text = ErrorText};
  return &plugin;
}
